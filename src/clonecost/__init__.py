"""What does it cost to clone a classifier through its prediction API?"""

__version__ = "0.1.0"
