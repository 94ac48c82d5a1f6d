"""Who builds nodes side by side: worker processes of this machine, or workers of a Dask cluster."""
