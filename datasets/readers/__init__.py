"""Files of tracker events to event tables: `open_events` takes any of them, the other modules one kind each."""
