# What is distributed beside the programs: manual pages, shell completion,
# systemd units, and the Debian packages of all that is installed.

# (An instrumented build is not for distribution, and its programs may not run here.)
if(NOT RPD_SANITIZE)
  add_subdirectory(framework/install/man ${CMAKE_BINARY_DIR}/man)
endif()
add_subdirectory(framework/install/systemd ${CMAKE_BINARY_DIR}/systemd)

install(FILES framework/install/completions/rpd framework/install/completions/rpdctl COMPONENT runtime
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)

# ---- Debian packages: rpd (component runtime), rpd-dev (dev) ------------------------
#
#     cmake --build build --target package
#
# makes them in build/packages, for the prefix /usr. What is installed under no
# component is in neither. Where the build was configured with
# -DCMAKE_INSTALL_PREFIX=/usr, libraries are in Debian's own directory.
set(RPD_PACKAGE_CONTACT "The maintainers of rpd <root@localhost>" CACHE STRING
    "Who made the Debian packages: NAME <ADDRESS>")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME rpd)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "daemons that can be connected to before they are ready")
set(CPACK_PACKAGE_CONTACT ${RPD_PACKAGE_CONTACT})
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL runtime dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_DEBUGINFO_PACKAGE OFF)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# libevent and jansson are opened by rpd itself, behind bind, so nobody sees from
# outside that it needs them: libevent_core-2.1.so.7 is in libevent-core-2.1-7,
# libjansson.so.4 in libjansson4.
string(REGEX REPLACE "\\.so\\." "-" event_package ${EVENT_SONAME})
string(REPLACE "_" "-" event_package ${event_package})
string(REPLACE ".so." "" jansson_package ${JANSSON_SONAME})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME rpd)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS "${event_package}, ${jansson_package} (>= 2.14)")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "libseccomp2 (>= 2.5)")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS "rpd-dev, socat")
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION
"rpd binds the endpoints of a daemon at once, before anything slow can happen,
and loads its state while clients are connected already and wait for their
answer. The daemon itself is a plugin, a shared object. rpdctl starts services
for whoever needs them, looks at them and ends them; the library librpd-client
does so for programs.")
find_program(DPKG_SHLIBDEPS_PROGRAM dpkg-shlibdeps)
if(DPKG_SHLIBDEPS_PROGRAM)
  set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR})
endif()
# (CPack's own shlibs would want exactly this version of rpd.)
file(CONFIGURE OUTPUT packages/control/shlibs CONTENT "librpd 0 rpd\nlibrpd-client 0 rpd\n")
file(CONFIGURE OUTPUT packages/control/triggers CONTENT "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_BINARY_DIR}/packages/control/shlibs
    ${CMAKE_CURRENT_BINARY_DIR}/packages/control/triggers)

set(CPACK_DEBIAN_DEV_PACKAGE_NAME rpd-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "rpd (= ${PROJECT_VERSION}), libc6-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "libevent-dev, pkg-config, cmake")
set(CPACK_DEBIAN_DEV_DESCRIPTION
"What a C compiler needs to build a plugin for rpd, or a program that uses its
services: headers, the links to the libraries, samples, and the manual pages
rpd-backend(3) and rpd-client(3).")

# What Debian wants to find in share/doc of each package.
configure_file(${CMAKE_CURRENT_LIST_DIR}/changelog.in packages/changelog @ONLY)
find_program(GZIP_PROGRAM gzip)
if(GZIP_PROGRAM)
  set(changelog ${CMAKE_CURRENT_BINARY_DIR}/packages/changelog)
  add_custom_command(OUTPUT ${changelog}.gz COMMAND ${GZIP_PROGRAM} -9nc ${changelog} > ${changelog}.gz
                     DEPENDS ${changelog} VERBATIM)
  add_custom_target(changelog ALL DEPENDS ${changelog}.gz)
  install(FILES ${changelog}.gz DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpd COMPONENT runtime)
  install(FILES ${changelog}.gz DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpd-dev COMPONENT dev)
endif()
install(FILES README.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpd COMPONENT runtime)

include(CPack)
