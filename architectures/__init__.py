"""Functions that return an uncompiled `keras.Model`; they take their shapes as arguments and know no dataset."""
