# find_package(vigil) for users: one exported target per folder, components named like the folders.
include(CMakePackageConfigHelpers)

set(vigil_config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/vigil")
get_property(vigil_libraries GLOBAL PROPERTY VIGIL_LIBRARIES)
set(VIGIL_COMPONENTS ${vigil_libraries})
list(TRANSFORM VIGIL_COMPONENTS REPLACE "^vigil_" "")
# An export file each, in the order of the house: a component's file names the targets of those below it.
foreach(component IN LISTS VIGIL_COMPONENTS)
  install(
    TARGETS vigil_${component}
    EXPORT vigil-${component}-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/vigil"
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(EXPORT vigil-${component}-targets NAMESPACE vigil:: DESTINATION "${vigil_config_dir}")
endforeach()
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/vigil-config.cmake.in" "${PROJECT_BINARY_DIR}/vigil-config.cmake" INSTALL_DESTINATION "${vigil_config_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/vigil-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/vigil-config.cmake" "${PROJECT_BINARY_DIR}/vigil-config-version.cmake" DESTINATION "${vigil_config_dir}")
if(VIGIL_TOOLS)
  install(TARGETS vigil_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
if(VIGIL_TOOLS AND VIGIL_HOOKS)
  install(TARGETS vigil_model_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
if(VIGIL_DAEMON)
  install(TARGETS vigild RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
install(FILES "${PROJECT_SOURCE_DIR}/config/default.yml" DESTINATION "${CMAKE_INSTALL_DATADIR}/vigil")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/deploy" DESTINATION "${CMAKE_INSTALL_DATADIR}/vigil" PATTERN node_modules EXCLUDE)
