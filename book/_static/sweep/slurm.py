"""A scheduler whose workers are Slurm jobs: python book/_static/sweep/slurm.py GRID DIR."""

import sys

from dask_jobqueue import SLURMCluster

from madlib import sweep

if __name__ == "__main__":
    grid, out = sys.argv[1:]
    with SLURMCluster(cores=16, processes=16, memory="64GB", walltime="04:00:00") as cluster:
        cluster.adapt(maximum_jobs=60)
        print(sweep.run(grid, out, scheduler=cluster.scheduler_address))
