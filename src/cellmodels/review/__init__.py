"""What a person should look at: features of images, and labels that may be wrong."""
