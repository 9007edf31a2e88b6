# How a plugin is built, in this tree and outside of it: installed beside
# rpdConfig.cmake, which includes it.
#
#     rpd_add_plugin(NAME SOURCE... [DIRECTORY DIRECTORY])
#
# A target NAME that makes NAME.so, in DIRECTORY of the build tree or else at
# its top. C11 and C++17 unless the project has chosen; all is hidden but what
# RPD_BACKEND() exports. What the plugin defines is what it calls, even where libc or
# rpd has a function of that name; and it shares no variables with other plugins. What else it needs, give it as to any target.
function(rpd_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" DIRECTORY "")
  add_library(${name} MODULE ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE rpd::rpd)
  target_link_options(${name} PRIVATE -Wl,-z,nodelete -Wl,-Bsymbolic)
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
  # No path to librpd: a program that loads a plugin has it loaded.
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX .so BUILD_WITH_INSTALL_RPATH ON
                        POSITION_INDEPENDENT_CODE ON
                        C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden
                        VISIBILITY_INLINES_HIDDEN ON
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/${arg_DIRECTORY})
  if(NOT CMAKE_C_STANDARD)
    set_property(TARGET ${name} PROPERTY C_STANDARD 11)
  endif()
  if(NOT CMAKE_CXX_STANDARD)
    set_property(TARGET ${name} PROPERTY CXX_STANDARD 17)
  endif()
endfunction()
