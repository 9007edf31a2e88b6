/* What a test and accept_shim.c share: how accept4() fails. */
#ifndef TESTS_FAULTS_ACCEPT_FAULT_H
#define TESTS_FAULTS_ACCEPT_FAULT_H

#include <stdatomic.h>

struct accept_fault {
    atomic_int error;
    atomic_int left;   /* calls that fail yet */
    atomic_int failed; /* calls that have failed */
};

#endif
