"""Queries that run until they are stopped: definition, registry, deploy, stop, upgrade, repair.

Who writes what, so that a process may be killed anywhere (deploy.py, lifecycle.py against reconcile.py):

1. Each query has one record (record.py). Every change goes through `Registry.update(record, …)`, which refuses it with
   ConflictError when the record was changed since it was read. So of two processes one goes on, the other gives up.
2. The intent is written before the world is changed: `state` DEPLOYING, STOPPING or DELETING together with `desired`.
   Writing one of these states makes the process the record's holder, and so does `Registry.claim` in any state; writing
   another state, or `Registry.release`, lets it go. Nobody else touches a held record until its holder is dead or
   `Registry.lease_s` is over (holder.py).
   - DEPLOYING: `job_id` is set to `fixed_job_id(id, generation, attempt)` before the INSERT is sent. A later
     submission takes the next attempt, a changed definition the next generation. After the submit the record is
     claimed as STARTING until the job runs steadily.
   - STOPPING: `stop_mode`, and in `savepoint_request` the id that Flink is then given for the savepoint. `desired`
     RUNNING means that the query is to be started again afterwards (restart, upgrade), STOPPED that it is not.
   - DELETING with `desired` DELETED: `delete` may be called again and goes on where it was.
3. `reconcile` looks at each record that is not held (decision.py):
   - DEPLOYING: the job is there, by its id: the record takes the job's state. It is not: a first deploy is FAILED, a
     restart or upgrade is made again.
   - STOPPING and the job is over: SUSPENDED, STOPPED, FINISHED or FAILED, as the savepoint and the job say. The job
     runs: a savepoint under way is waited for; else the stop is made again, or if `desired` is RUNNING, the
     old job goes on.
   - SUSPENDED or STOPPED by us with `desired` RUNNING: a restart or upgrade was cut off after its stop; the query is
     started again, with the definition in its record.
   - DELETING: `delete` is called again; it drops no data.
   - else the record takes the job's state: LOST, FAILED, FINISHED, STOPPED by somebody else.
4. What a query continues from is the newest of what Flink says about its job, what lies on disk, `checkpoint_path` and
   `savepoint_path` (restore.py). A savepoint that is written into a record takes the place of an older checkpoint.
"""
