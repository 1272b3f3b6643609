"""Queries that run until they are stopped: definition, registry, deploy, stop, upgrade, repair.

Who writes what, so that a process may be killed anywhere (deploy.py, lifecycle.py against reconcile.py):

1. Each query has one record (record.py). Every change goes through `Registry.update(record, …)`, which refuses it with
   ConflictError when the record was changed since it was read. So of two processes one goes on, the other gives up.
2. The intent is written before the world is changed: `state` DEPLOYING, STOPPING or DELETING together with `desired`.
   Writing one of these states makes the process the record's holder; writing any other state lets it go. Nobody else
   touches a held record until the holder is dead or `Registry.lease_s` is over. A process that works longer
   calls `update` again in between.
   - DEPLOYING: `job_id` is set to `fixed_job_id(id, generation, attempt)` before the INSERT is sent. A later
     submission takes the next attempt, a changed definition the next generation.
   - STOPPING: `stop_mode`, and `savepoint_request` as soon as Flink has given one. `desired` RUNNING means that the
     query is to be started again afterwards (restart, upgrade), STOPPED that it is not.
   - DELETING with `desired` DELETED: `delete` may be called again and goes on where it was.
3. `reconcile` looks at each record that is not held:
   - DEPLOYING and the job is there, by id: the deploy happened; the record takes the job's state. It is not there: a
     first deploy is FAILED; after a stop for an upgrade (`savepoint_path` is set) the query is started again from it.
   - STOPPING: the job is over: SUSPENDED, STOPPED or FAILED as the job says, then started again if `desired` is
     RUNNING. It runs: the savepoint that was asked for is waited for; if it failed, or was never asked for, the
     stop is made again.
   - SUSPENDED with `desired` RUNNING: a restart or upgrade was cut off after its stop; it is started again.
   - DELETING: `delete` is called again.
   - else the record takes the job's state: LOST, FAILED, FINISHED, STOPPED by somebody else.
4. Starting again always means `lifecycle.restart(engine, id, from_=…)`, which reads `savepoint_path` or
   `checkpoint_path` of the record. reconcile takes the record first (`Registry.claim`), so only one process does.
"""
