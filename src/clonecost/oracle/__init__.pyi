from .oracle import Oracle as Oracle
