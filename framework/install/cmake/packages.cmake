# What is distributed beside the programs: manual pages, shell completion,
# systemd units, and the Debian packages of all that is installed.

# (An instrumented build is not for distribution, and its programs may not run here.)
if(NOT RPD_SANITIZE)
  add_subdirectory(framework/install/man ${CMAKE_BINARY_DIR}/man)
endif()
add_subdirectory(framework/install/systemd ${CMAKE_BINARY_DIR}/systemd)

install(FILES framework/install/completions/rpd framework/install/completions/rpdctl COMPONENT runtime
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)

# ---- Debian packages: rpd (component runtime), rpd-dev (dev), rpd-dashboard (dashboard) ----
#
#     cmake --build build --target package
#
# makes them in build/packages, for the prefix /usr. What is installed under no
# component is in neither. Where the build was configured with
# -DCMAKE_INSTALL_PREFIX=/usr, libraries are in Debian's own directory.
# Who makes a package answers for it: -DRPD_PACKAGE_CONTACT="NAME <ADDRESS>", or as Debian's own
# tools have it, $DEBFULLNAME and $DEBEMAIL, or as git has it. Without one no package is made.
function(rpd_find_contact)
  set(name "$ENV{DEBFULLNAME}")
  set(address "$ENV{DEBEMAIL}")
  find_package(Git QUIET)
  foreach(what name address)
    if(NOT ${what} AND GIT_FOUND)
      string(REPLACE "address" "email" key user.${what})
      execute_process(COMMAND ${GIT_EXECUTABLE} config ${key} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                      OUTPUT_VARIABLE ${what} OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
  endforeach()
  if(name AND address)
    set(RPD_PACKAGE_CONTACT "${name} <${address}>" CACHE STRING "NAME <ADDRESS>" FORCE)
  endif()
endfunction()
set(RPD_PACKAGE_CONTACT "" CACHE STRING "Who makes the Debian packages: NAME <ADDRESS>")
if(NOT RPD_PACKAGE_CONTACT)
  rpd_find_contact()
endif()
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME rpd)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "daemons that can be connected to before they are ready")
set(CPACK_PACKAGE_CONTACT ${RPD_PACKAGE_CONTACT})
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL runtime dev)
set(packages runtime=rpd dev=rpd-dev)
if(TARGET dashboard)
  list(APPEND CPACK_COMPONENTS_ALL dashboard)
  list(APPEND packages dashboard=rpd-dashboard)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
# (rpd-dbgsym; programs and libraries are stripped.)
set(CPACK_DEBIAN_RUNTIME_DEBUGINFO_PACKAGE ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# libevent and jansson are opened by rpd itself, behind bind, so its dynamic section does
# not name them: libevent_core-2.1.so.7 is in libevent-core-2.1-7,
# libjansson.so.4 in libjansson4.
string(REGEX REPLACE "\\.so\\." "-" event_package ${EVENT_SONAME})
string(REPLACE "_" "-" event_package ${event_package})
string(REPLACE ".so." "" jansson_package ${JANSSON_SONAME})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME rpd)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS "${jansson_package} (>= 2.14)")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "libseccomp2 (>= 2.5)")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS "rpd-dev, socat")
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION
"rpd binds the endpoints of a daemon at once, before anything slow can happen,
and loads its state while clients are connected already and wait for their
answer. The daemon itself is a plugin, a shared object. rpdctl starts services,
shows them and ends them; the library librpd-client
does so for programs.")
find_program(DPKG_SHLIBDEPS_PROGRAM dpkg-shlibdeps)
if(DPKG_SHLIBDEPS_PROGRAM)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR})
else() # (Else it finds it: kv is linked with it.)
  string(PREPEND CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS "${event_package}, ")
endif()
# (CPack's own shlibs would want exactly this version of rpd.)
file(CONFIGURE OUTPUT packages/control/shlibs CONTENT "librpd 0 rpd\nlibrpd-client 0 rpd\n")
file(CONFIGURE OUTPUT packages/control/triggers CONTENT "activate-noawait ldconfig\n")
set(control ${CMAKE_CURRENT_BINARY_DIR}/packages/control)
set(debian ${CMAKE_CURRENT_LIST_DIR}/../debian)
add_custom_command(OUTPUT ${control}/symbols DEPENDS librpd librpd-client ${debian}/symbols.sh
    COMMAND ${debian}/symbols.sh ${PROJECT_VERSION} $<TARGET_FILE:librpd> $<TARGET_FILE:librpd-client>
            > ${control}/symbols VERBATIM)
add_custom_target(symbols ALL DEPENDS ${control}/symbols)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${control}/shlibs ${control}/triggers
    ${control}/symbols ${debian}/postinst ${debian}/prerm ${debian}/postrm)

set(CPACK_DEBIAN_DEV_PACKAGE_NAME rpd-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "rpd (= ${PROJECT_VERSION}), libc6-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "libevent-dev, pkg-config, cmake")
set(CPACK_DEBIAN_DEV_DESCRIPTION
"What a C compiler needs to build a plugin for rpd, or a program that uses its
services: headers, the links to the libraries, samples, and the manual pages
rpd-backend(3) and rpd-client(3).")

set(CPACK_DEBIAN_DASHBOARD_PACKAGE_NAME rpd-dashboard)
set(CPACK_DEBIAN_DASHBOARD_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_DASHBOARD_PACKAGE_DEPENDS "rpd (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_DASHBOARD_DESCRIPTION
"A plugin for rpd that shows the services of its user in a browser: their state,
how far they are loaded, clients, latencies, starts and errors. It serves
metrics to Prometheus, too. It reads what services publish, and changes
nothing.")
set(CPACK_DEBIAN_DASHBOARD_DEBUGINFO_PACKAGE ON)
set(CPACK_DEBIAN_DASHBOARD_PACKAGE_SHLIBDEPS ${CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS})
if(NOT DPKG_SHLIBDEPS_PROGRAM)
  string(APPEND CPACK_DEBIAN_DASHBOARD_PACKAGE_DEPENDS ", libmicrohttpd12, ${event_package}, ${jansson_package}")
endif()

# What Debian wants to find in share/doc of each package.
configure_file(${CMAKE_CURRENT_LIST_DIR}/changelog.in packages/changelog @ONLY)
find_program(GZIP_PROGRAM gzip)
if(GZIP_PROGRAM)
  set(changelog ${CMAKE_CURRENT_BINARY_DIR}/packages/changelog)
  add_custom_command(OUTPUT ${changelog}.gz COMMAND ${GZIP_PROGRAM} -9nc ${changelog} > ${changelog}.gz
                     DEPENDS ${changelog} VERBATIM)
  add_custom_target(changelog ALL DEPENDS ${changelog}.gz)
  foreach(pair IN LISTS packages)
    string(REGEX MATCH "(.*)=(.*)" _ ${pair})
    install(FILES ${changelog}.gz DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${CMAKE_MATCH_2} COMPONENT ${CMAKE_MATCH_1})
  endforeach()
endif()
file(STRINGS ${CMAKE_SOURCE_DIR}/LICENSE lines)
set(RPD_LICENSE_NAME BSD-3-Clause)
set(RPD_LICENSE_TEXT "")
foreach(line IN LISTS lines)
  string(STRIP "${line}" line)
  if(line STREQUAL "")
    set(line ".")
  endif()
  string(APPEND RPD_LICENSE_TEXT " ${line}\n")
endforeach()
configure_file(${debian}/copyright.in packages/copyright @ONLY)
foreach(pair IN LISTS packages)
  string(REGEX MATCH "(.*)=(.*)" _ ${pair})
  set(component ${CMAKE_MATCH_1})
  set(package ${CMAKE_MATCH_2})
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/packages/copyright COMPONENT ${component}
          DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package})
  install(FILES ${debian}/lintian-overrides.${package} RENAME ${package} COMPONENT ${component}
          DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides)
endforeach()
install(FILES ${debian}/logrotate COMPONENT runtime
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpd/examples)

install(FILES README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpd COMPONENT runtime)

include(CPack)
