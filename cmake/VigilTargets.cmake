# One folder of the tree = one library target `vigil_<folder>`, known to users as `vigil::<folder>`.

# Sources include each other as "vigil/<folder>/<file>", as an installed vigil does. The folders stand at the top of the tree, so the
# build folder holds an include directory that leads to them.
set(VIGIL_INCLUDE_DIR "${PROJECT_BINARY_DIR}/include")
file(MAKE_DIRECTORY "${VIGIL_INCLUDE_DIR}/vigil")

# What UBSan does not look at in the tests' own code, and in what reads command lines: for a third less time to compile.
set(VIGIL_LIGHT_SANITIZE "")
if(VIGIL_SANITIZE MATCHES "undefined")
  set(VIGIL_LIGHT_SANITIZE -fno-sanitize=null,alignment,object-size,vptr)
endif()

function(vigil_compile_settings target)
  target_compile_features(${target} PUBLIC cxx_std_17)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-align)
  # NaN and infinities are what vigil looks for: not even with -ffast-math in CMAKE_CXX_FLAGS, which comes before it.
  target_compile_options(${target} PRIVATE -fno-fast-math)
  if(VIGIL_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(VIGIL_SANITIZE)
    # g++ sees uninitialised members of libstdc++'s own std::regex in code instrumented for AddressSanitizer (GCC bug 105562).
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    # g++ warns that ThreadSanitizer does not understand fences. Those of the reader of ring files stand between system calls, which it does
    # not look into either.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
    target_compile_options(${target} PUBLIC -fsanitize=${VIGIL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${VIGIL_SANITIZE})
  endif()
  if(VIGIL_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link) # coverage, which libFuzzer goes by
  endif()
endfunction()

# vigil_add_library(<folder> HEADERS <public headers…> SOURCES <sources and private headers…>)
function(vigil_add_library folder)
  cmake_parse_arguments(arg "" "" "HEADERS;SOURCES" ${ARGN})
  file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}" "${VIGIL_INCLUDE_DIR}/vigil/${folder}" SYMBOLIC)
  add_library(vigil_${folder} STATIC)
  add_library(vigil::${folder} ALIAS vigil_${folder})
  target_sources(
    vigil_${folder}
    PRIVATE ${arg_SOURCES}
    PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${arg_HEADERS})
  target_include_directories(vigil_${folder} PUBLIC "$<BUILD_INTERFACE:${VIGIL_INCLUDE_DIR}>")
  set_target_properties(vigil_${folder} PROPERTIES EXPORT_NAME ${folder} POSITION_INDEPENDENT_CODE ON)
  vigil_compile_settings(vigil_${folder})
  set_property(GLOBAL APPEND PROPERTY VIGIL_LIBRARIES vigil_${folder})
endfunction()

# vigil_compile_alone(<sources…>): not in one unit with others under CMAKE_UNITY_BUILD (the sanitizers' presets, for half the time), as their
# anonymous namespaces have names that others have too.
function(vigil_compile_alone)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# vigil_compile_lightly(<sources…>): for what reads a command line, once, with CLI11: its templates take long to optimise and to instrument.
function(vigil_compile_lightly)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-O1>;${VIGIL_LIGHT_SANITIZE}")
endfunction()
