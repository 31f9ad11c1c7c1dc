"""Functions in container images: what `image:` says, a bundle made of it, workers started from it.

    reference, settings, account, container     decide: what is asked for
    oci, seccomp, launcher                      decide: how it is said to a runtime or an engine
    engine, runtime, probe, bundle, groups      do: podman or docker, crun or runc, files
    images                                      the door: `Images`

podman or docker find and unpack an image, once. A worker is then started by crun or runc directly,
inside `drop-enclose`, which makes it end with whoever started it. What only podman or docker can do
is left to `podman run` or `docker run`, watched over by `janitor`.
"""
