# Part of spawn.pyx: a recipe, made once for a pool and used for each of its processes.


cdef class Recipe:
    """How the processes of a pool are started; immutable, and shared with native threads.

    `private`: directories that are empty, own and writable, with these mount options;
    `kept` are directories inside them that stay visible. `read_only` and `landlock` are two ways
    to let nothing be written except beneath `writable` (and the private directories: for landlock
    there are none). `limits`: values by RLIMIT_ number. `groups`: directories of control groups,
    in which each slot 0 .. slots - 1 has a group named by its number. `number_variable`: the
    variable of the environment that holds the slot's number, counted from 1.

    Raises SpawnError where the network namespace or the landlock rules cannot be made.
    """

    cdef drop_recipe *recipe
    cdef bytes program
    cdef readonly int slots

    def __init__(self, list argv not None, *, list env not None, bytes cwd,
                 bytes number_variable=None, long long uid=-1, long long gid=-1,
                 bint no_new_privileges=False, bint no_capabilities=False, dict limits=None,
                 int oom_score_adjust=0,
                 bint network_none=False, list private=None, bytes private_options=b"",
                 list kept=None, bint read_only=False, bint landlock=False, list writable=None,
                 list groups=None, int slots=0):
        if self.recipe != NULL:
            raise TypeError("a recipe is made once")
        check_argv(argv)
        check_bounds(kept, writable, groups, slots)
        self.program = argv[0] if type(argv[0]) is bytes else b""
        self.slots = slots
        cdef drop_recipe_parameters parameters
        cdef Lists lists = Lists()
        check_strings("cwd, number_variable, private_options",
                      [cwd or b"", number_variable or b"", private_options])
        parameters.argv = lists.add("argv", argv)
        parameters.environment = lists.add("env", env)
        parameters.number_variable = optional_text(number_variable)
        parameters.directory = optional_text(cwd)
        parameters.uid = <uid_t>checked_id("uid", uid)
        parameters.gid = <gid_t>checked_id("gid", gid)
        parameters.groups = lists.add_optional("groups", groups)
        parameters.slots = <uint32_t>slots
        cdef drop_confinement *confinement = &parameters.confinement
        confinement.oom_score_adjust = oom_score_adjust
        confinement.no_new_privileges = no_new_privileges
        confinement.no_capabilities = no_capabilities
        confinement.read_only = read_only
        confinement.private_directories = lists.add_optional("private", private)
        confinement.private_options = PyBytes_AS_STRING(private_options)
        confinement.kept = lists.add_optional("kept", kept)
        confinement.writable = lists.add_optional("writable", writable)
        confinement.limits = lists.add_limits(limits or {})
        confinement.limit_count = len(limits or {})
        confinement.network = -1
        confinement.landlock = -1
        self.create(&parameters, network_none, landlock)

    cdef int create(self, drop_recipe_parameters *parameters, bint network,
                    bint landlock) except -1:
        """Makes what the children enter, which the recipe copies."""
        cdef drop_confinement *confinement = &parameters.confinement
        cdef int error
        try:
            if network:
                confinement.network = made("a network namespace", drop_confine_network_create())
            if landlock:
                confinement.landlock = made(
                    "landlock rules", drop_confine_landlock_create(confinement.writable))
            error = drop_recipe_create(parameters, &self.recipe)
            if error:
                raise OSError(error, f"cannot copy a recipe: {os.strerror(error)}")
        finally:
            if confinement.network >= 0:
                close(confinement.network)
            if confinement.landlock >= 0:
                close(confinement.landlock)
        return 0

    def __dealloc__(self):
        if self.recipe != NULL:
            drop_recipe_release(self.recipe)

    def spawn(self, int slot, *, int stdin, int stdout, int stderr):
        """Starts a process in a slot that is free and returns (pid, pidfd).

        The three descriptors stay the caller's, the pidfd becomes its. Raises SpawnError.
        """
        self.check_slot(slot)
        cdef int[3] streams = [stdin, stdout, stderr]
        cdef drop_spawn_result result
        with nogil:
            drop_recipe_spawn(self.recipe, <uint32_t>slot, streams, &result)
        return started(&result, self.program)

    def kill_slot(self, int slot):
        """Kills whatever is left in the slot's control group, in any session."""
        self.check_slot(slot)
        with nogil:
            drop_recipe_kill_slot(self.recipe, <uint32_t>slot)

    def oom_kills(self, int slot):
        """How often the kernel has killed a process of the slot for lack of memory, ever."""
        self.check_slot(slot)
        return drop_recipe_oom_kills(self.recipe, <uint32_t>slot)

    def capsule(self):
        """For native code: a capsule with a reference of its own."""
        made = PyCapsule_New(self.recipe, DROP_RECIPE_CAPSULE, release_capsule)
        drop_recipe_retain(self.recipe)
        return made

    cdef int check_slot(self, int slot) except -1:
        if self.recipe == NULL:
            raise TypeError("the recipe was not made")
        if slot < 0 or (self.slots and slot >= self.slots):
            raise ValueError(f"slot {slot}: there are {self.slots}")
        return 0


cdef int made(str what, int fd) except -1:
    cdef int number = errno
    if fd < 0:
        error = SpawnError(number, f"cannot make {what}: {os.strerror(number)}")
        error.step = f"cannot make {what}"
        raise error
    return fd


cdef void release_capsule(object capsule) noexcept:
    drop_recipe_release(<drop_recipe *>PyCapsule_GetPointer(capsule, DROP_RECIPE_CAPSULE))


cdef int check_bounds(list kept, list writable, list groups, int slots) except -1:
    if len(kept or ()) + len(writable or ()) > DROP_CONFINE_PATHS_MAX:
        raise ValueError(f"kept and writable: at most {DROP_CONFINE_PATHS_MAX} paths together")
    if len(groups or ()) > DROP_CGROUP_PARENTS_MAX:
        raise ValueError(f"groups: at most {DROP_CGROUP_PARENTS_MAX}")
    if slots < 0 or bool(slots) != bool(groups):
        raise ValueError(f"slots: {slots} for {len(groups or ())} groups")
    return 0


cdef class Lists:
    """Arrays of pointers that live as long as this does, with the bytes that they point into."""

    cdef list kept
    cdef list arrays

    def __cinit__(self):
        self.kept = []
        self.arrays = []

    def __dealloc__(self):
        for address in self.arrays:
            PyMem_Free(<void *><size_t>address)

    cdef char **add(self, str what, list items) except NULL:
        cdef tuple checked = check_strings(what, items)
        cdef char **array = pointers(checked)
        self.kept.append(checked)
        self.arrays.append(<size_t>array)
        return array

    cdef const char *const *add_optional(self, str what, list items) except? NULL:
        return <const char *const *>self.add(what, items) if items else NULL

    cdef const drop_limit *add_limits(self, dict limits) except? NULL:
        cdef Py_ssize_t i
        if len(limits) > DROP_CONFINE_LIMITS_MAX:
            raise ValueError(f"limits: at most {DROP_CONFINE_LIMITS_MAX}")
        cdef drop_limit *array = <drop_limit *>PyMem_Malloc((len(limits) + 1) * sizeof(drop_limit))
        if array == NULL:
            raise MemoryError
        self.arrays.append(<size_t>array)
        for i, (resource, value) in enumerate(limits.items()):
            array[i].resource = resource
            array[i].value = value
        return array
