/* What a test and accept_shim.c share: how accept4() fails. */
#ifndef TESTS_FAULTS_ACCEPT_FAULT_H
#define TESTS_FAULTS_ACCEPT_FAULT_H

#include <stdatomic.h>

struct accept_fault {
    atomic_int error;
    atomic_int left;   /* how many more calls fail */
    atomic_int failed; /* how many calls have failed */
};

#endif
