"""Track finders without training, and fits of lines and polylines to tracker hits, all of all events in one
call.
"""
