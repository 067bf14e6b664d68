"""Fits of lines and polylines to tracker hits, and what follows from them: all tracks of all events in one
call.
"""
