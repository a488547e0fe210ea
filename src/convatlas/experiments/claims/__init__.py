"""One file per claim; see `convatlas.experiments.form`."""
