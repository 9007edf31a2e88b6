# What is distributed beside the programs: manual pages, shell completion,
# systemd units, and the Debian packages of all that is installed.

# (An instrumented build is not for distribution, and its programs may not run here.)
if(NOT RPD_SANITIZE)
  add_subdirectory(man)
endif()
add_subdirectory(systemd)

install(FILES completions/rpd completions/rpdctl COMPONENT runtime
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
