"""The speed of cellprep compared with other libraries; README.md describes the method."""
