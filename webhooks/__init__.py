"""Telling a receiver by HTTP how a response has ended: whom, how it is signed, how it is sent.

Nothing here knows of jobs or of Redis: `Poster` sends one body to one address, once.
"""
