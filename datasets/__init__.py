"""The event table, the detector's geometry, file readers, views, and one module a task that feeds `tf.data`."""
