"""Files of tracker events to event tables: `open_events` takes any file, the other modules one kind each."""
