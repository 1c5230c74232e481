# For tests and examples, which are many files and spend their time elsewhere: a file that includes <torch/torch.h> compiles for 40 s, most of
# it in the headers. Hence precompiled headers (g++), and no more optimisation than such a program needs.
set(VIGIL_QUICK_OPTIONS $<$<CONFIG:Release>:-O1> ${VIGIL_LIGHT_SANITIZE})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND VIGIL_PCH)
  set(VIGIL_HAS_PCH ON)
  # ccache looks into what uses a precompiled header by this, with CCACHE_SLOPPINESS of the presets.
  list(APPEND VIGIL_QUICK_OPTIONS -fpch-preprocess)
endif()

# vigil_precompile(<name> LIBRARIES … HEADERS …)
function(vigil_precompile name)
  if(NOT VIGIL_HAS_PCH)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "LIBRARIES;HEADERS" ${ARGN})
  add_library(${name} OBJECT "${PROJECT_SOURCE_DIR}/cmake/precompiled.cpp")
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES})
  vigil_compile_settings(${name})
  target_compile_options(${name} PRIVATE ${VIGIL_QUICK_OPTIONS})
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS})
endfunction()

# vigil_compile_quickly(<target> <name of vigil_precompile>), in place of vigil_compile_settings().
function(vigil_compile_quickly target headers)
  vigil_compile_settings(${target})
  target_compile_options(${target} PRIVATE ${VIGIL_QUICK_OPTIONS})
  if(VIGIL_HAS_PCH)
    target_precompile_headers(${target} REUSE_FROM ${headers})
  endif()
endfunction()
