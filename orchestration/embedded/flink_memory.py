"""How the memory of a Flink process is divided, as the keys that its start scripts would compute."""

from __future__ import annotations

from dataclasses import dataclass

_MB = 1024 * 1024


@dataclass(frozen=True)
class TaskManagerMemory:
    """Parts of a TaskManager's memory, in MiB; together they are the size of the process.

    Flink's own default split gives 40 % to managed memory and leaves Iceberg's Parquet writers a heap of 380 MiB; here
    managed memory is 25 %, enough to sort the partitions that silver rewrites. Parquet readers and writers take direct
    buffers for each open file; Flink's default of none for them ends a full month in "Direct buffer memory".
    """

    framework_heap_mb: int
    task_heap_mb: int
    task_off_heap_mb: int
    managed_mb: int
    framework_off_heap_mb: int
    network_mb: int
    metaspace_mb: int
    overhead_mb: int

    @classmethod
    def split(cls, process_mb: int) -> TaskManagerMemory:
        """Divide `process_mb` (at least 1536)."""
        metaspace, overhead, framework_heap, framework_off_heap = 256, max(128, process_mb // 12), 128, 128
        network = min(max(64, process_mb // 12), 256)
        managed, task_off_heap = process_mb // 4, process_mb // 8
        fixed = metaspace + overhead + framework_heap + framework_off_heap + network
        task = process_mb - fixed - managed - task_off_heap
        return cls(framework_heap, task, task_off_heap, managed, framework_off_heap, network, metaspace, overhead)

    @property
    def heap_mb(self) -> int:
        """Heap of the JVM."""
        return self.framework_heap_mb + self.task_heap_mb

    @property
    def direct_mb(self) -> int:
        """Limit of direct buffers."""
        return self.framework_off_heap_mb + self.task_off_heap_mb + self.network_mb

    def keys(self) -> dict[str, str]:
        """Return Flink's options; TaskManagerRunner refuses to start unless every part is given."""
        return {
            "taskmanager.memory.framework.heap.size": f"{self.framework_heap_mb * _MB}b",
            "taskmanager.memory.task.heap.size": f"{self.task_heap_mb * _MB}b",
            "taskmanager.memory.task.off-heap.size": f"{self.task_off_heap_mb * _MB}b",
            "taskmanager.memory.framework.off-heap.size": f"{self.framework_off_heap_mb * _MB}b",
            "taskmanager.memory.managed.size": f"{self.managed_mb * _MB}b",
            "taskmanager.memory.network.min": f"{self.network_mb * _MB}b",
            "taskmanager.memory.network.max": f"{self.network_mb * _MB}b",
            "taskmanager.memory.jvm-metaspace.size": f"{self.metaspace_mb * _MB}b",
            "taskmanager.memory.jvm-overhead.min": f"{self.overhead_mb * _MB}b",
            "taskmanager.memory.jvm-overhead.max": f"{self.overhead_mb * _MB}b",
        }


@dataclass(frozen=True)
class JobManagerMemory:
    """Parts of a JobManager's memory, in MiB."""

    heap_mb: int
    off_heap_mb: int
    metaspace_mb: int
    overhead_mb: int

    @classmethod
    def split(cls, process_mb: int) -> JobManagerMemory:
        """Divide `process_mb` (at least 768)."""
        metaspace, overhead, off_heap = 256, 192, 64
        return cls(process_mb - metaspace - overhead - off_heap, off_heap, metaspace, overhead)
