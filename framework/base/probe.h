/* Static probes (USDT) of provider "rpd", for perf, bpftrace and similar tools: rpd(8), TRACING,
 * lists them and their arguments. Each is a nop and a note in the file if <sys/sdt.h> is installed
 * (systemtap-sdt-dev), and nothing otherwise. */
#ifndef FRAMEWORK_PROBE_H
#define FRAMEWORK_PROBE_H

#ifdef RPD_HAS_SDT
#include <sys/sdt.h>
#define PROBE(name) STAP_PROBE(rpd, name)
#define PROBE1(name, a) STAP_PROBE1(rpd, name, a)
#define PROBE2(name, a, b) STAP_PROBE2(rpd, name, a, b)
#define PROBE3(name, a, b, c) STAP_PROBE3(rpd, name, a, b, c)
#else
#define PROBE(name) ((void)0)
#define PROBE1(name, a) ((void)(a))
#define PROBE2(name, a, b) ((void)(a), (void)(b))
#define PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
