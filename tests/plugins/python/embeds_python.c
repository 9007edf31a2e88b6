/* A backend in Python, within the plugin: its state is an interpreter, and a client's line is an
 * expression that it evaluates. The critical point is the import of modules written in C ("import
 * _decimal"): such a module is not linked with libpython, and looks for its functions among the
 * names of the whole process.
 *
 * So load makes libpython's names visible to all, once, before it starts the interpreter
 * (promote=false: it does not). */
#include <Python.h>

#include <rpd/backend.h>

#include <dlfcn.h>

static const struct rpd_option options[] = {
    RPD_OPTION_BOOLEAN("promote", true, "whether modules written in C find libpython"),
    RPD_OPTIONS_END,
};

static PyObject *globals; /* there is one interpreter in a process */

/* Opens a library that is already loaded: no search, no second copy. */
static bool promote_libpython(void)
{
    Dl_info info;

    return dladdr((void *)Py_InitializeEx, &info) &&
           dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

/* [worker] Without signal handlers, which are rpd's. The next thread to run Python takes the
 * interpreter's lock (the GIL) while it runs. */
static void *load(struct rpd_load *load)
{
    PyObject *module;

    if (rpd_option_boolean(rpd_load_service(load), "promote") && !promote_libpython())
        return rpd_load_fail(load, "libpython cannot be promoted: %s", dlerror());
    Py_InitializeEx(0);
    globals = PyDict_New();
    module = globals ? PyImport_ImportModule("_decimal") : NULL;
    if (module)
        PyDict_SetItemString(globals, "decimal", module);
    else
        PyErr_Print();
    PyEval_SaveThread();
    return module ? globals : rpd_load_fail(load, "_decimal cannot be imported");
}

static void answer(struct rpd_conn *conn, const char *expression)
{
    PyObject *value = PyRun_String(expression, Py_eval_input, globals, globals);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;

    rpd_conn_printf(conn, "%s\n", utf8 ? utf8 : "error");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(value);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const PyGILState_STATE lock = PyGILState_Ensure();
    struct rpd_span line;
    char expression[256];

    (void)state;
    while (rpd_conn_read_line(conn, &line)) {
        snprintf(expression, sizeof expression, "%.*s", (int)line.size, line.data);
        answer(conn, expression);
    }
    PyGILState_Release(lock);
}

RPD_BACKEND(embeds_python, .summary = "Evaluates Python", .options = options, .load = load,
            .on_data = on_data);
