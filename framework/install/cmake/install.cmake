# `cmake --install BUILD --prefix DIR`: rpd, librpd, headers, plugins, samples,
# and what others need to build plugins (a CMake package, a pkg-config file).
# Nothing of it knows DIR: the tree works wherever it is moved.
include(CMakePackageConfigHelpers)

set(RPD_PLUGIN_DIR ${CMAKE_INSTALL_LIBDIR}/rpd/plugins)
set(RPD_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/rpd)
set(RPD_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(RPD_SAMPLES_DIR ${CMAKE_INSTALL_DATADIR}/rpd/samples)
set(made ${CMAKE_CURRENT_BINARY_DIR}/cmake)

# rpd takes no plugin from a directory that others can write, whatever the umask is.
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

# Components are packages (packages.cmake): what runs plugins, and what builds them.
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME dev)

install(TARGETS rpd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(TARGETS librpd EXPORT rpdTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT dev
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS librpd-client EXPORT rpdTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT dev
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS echo kv LIBRARY DESTINATION ${RPD_PLUGIN_DIR} COMPONENT runtime)
if(TARGET buildcache)
  install(TARGETS buildcache LIBRARY DESTINATION ${RPD_PLUGIN_DIR} COMPONENT runtime)
  install(TARGETS ccache-storage-rpd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
endif()
# A package of its own: it needs a library that rpd does not need.
if(TARGET dashboard)
  install(TARGETS dashboard LIBRARY DESTINATION ${RPD_PLUGIN_DIR} COMPONENT dashboard)
  install(FILES plugins/dashboard/README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpd-dashboard COMPONENT dashboard)
  install(FILES plugins/dashboard/dashboard.json DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/rpd-dashboard/examples
          COMPONENT dashboard)
endif()
install(DIRECTORY include/rpd DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h PATTERN *.hpp)

# ---- for find_package(rpd) and pkg-config ------------------------------------------
set_property(TARGET librpd PROPERTY EXPORT_NAME rpd)
set_property(TARGET librpd-client PROPERTY EXPORT_NAME client)
install(EXPORT rpdTargets NAMESPACE rpd:: DESTINATION ${RPD_CMAKE_DIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/rpdConfig.cmake.in ${made}/rpdConfig.cmake
                              INSTALL_DESTINATION ${RPD_CMAKE_DIR}
                              PATH_VARS CMAKE_INSTALL_BINDIR RPD_PLUGIN_DIR)
write_basic_package_version_file(${made}/rpdConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${made}/rpdConfig.cmake ${made}/rpdConfigVersion.cmake ${CMAKE_CURRENT_LIST_DIR}/rpd_add_plugin.cmake
        DESTINATION ${RPD_CMAKE_DIR})

file(RELATIVE_PATH RPD_PREFIX_FROM_PC /${RPD_PC_DIR} /)
string(REGEX REPLACE "/$" "" RPD_PREFIX_FROM_PC ${RPD_PREFIX_FROM_PC})
configure_file(${CMAKE_CURRENT_LIST_DIR}/rpd.pc.in ${made}/rpd.pc @ONLY)
configure_file(${CMAKE_CURRENT_LIST_DIR}/rpd-client.pc.in ${made}/rpd-client.pc @ONLY)
install(FILES ${made}/rpd.pc ${made}/rpd-client.pc DESTINATION ${RPD_PC_DIR})

# ---- samples -----------------------------------------------------------------------
# The configurations name plugins of the build tree; installed, those beside them.
foreach(configuration rpd.json client.json)
  file(READ samples/${configuration} sample)
  string(REPLACE "../build/samples/" "./" sample "${sample}")
  string(REPLACE "RPDCTL=build/rpdctl build/samples/" "./" sample "${sample}")
  string(REGEX REPLACE "build/(rpd|rpdctl) " "\\1 " sample "${sample}")
  string(REPLACE "samples/${configuration}" "${configuration}" sample "${sample}")
  file(CONFIGURE OUTPUT ${made}/${configuration} CONTENT "${sample}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS samples/${configuration})
  install(FILES ${made}/${configuration} DESTINATION ${RPD_SAMPLES_DIR})
endforeach()
install(FILES samples/client.c samples/client.py samples/hello.c samples/hello.cpp samples/index.c samples/slow_start.c samples/spell.c samples/web.c
        DESTINATION ${RPD_SAMPLES_DIR})
install(DIRECTORY samples/out_of_tree DESTINATION ${RPD_SAMPLES_DIR} PATTERN build EXCLUDE)

# Nothing is written outside of DIR: CMake's script would end with a list of
# what it has installed in the build tree. (Deferred: behind all other rules.)
cmake_language(DEFER CALL install CODE "return()" ALL_COMPONENTS)
