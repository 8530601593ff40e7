"""The charts of `griot stats --plot`: what is drawn, in the terminal or as a picture."""
