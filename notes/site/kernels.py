"""What the kernels have that run the chapters of a build."""

from notes import explore

# Without the kernel's warning that the loopback is not encrypted, which says nothing to a reader.
ARGUMENTS = ["--IPKernelApp.log_level=ERROR"]


def kernel_environment():
    """What a chapter's kernel must see in a build: that it is one, one thread, as kernels run side by side, no bars."""
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return {explore.SITE_VARIABLE: "1", **one_thread, "MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}
