"""Tables of models and data sets: read from TOML, trained and evaluated row by row."""
