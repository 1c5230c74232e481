# cmake -DPROMTOOL=… -DEXPOSITION=… -P check_exposition.cmake: fails on whatever `promtool check metrics` has to say.
if(NOT PROMTOOL)
  message(FATAL_ERROR "promtool was not found when the build was configured: run scripts/setup.sh, then configure again (or set "
                      "VIGIL_PROMTOOL)")
endif()
execute_process(
  COMMAND "${PROMTOOL}" check metrics
  INPUT_FILE "${EXPOSITION}"
  RESULT_VARIABLE result
  OUTPUT_VARIABLE said
  ERROR_VARIABLE said)
if(NOT result EQUAL 0 OR NOT said STREQUAL "")
  message(FATAL_ERROR "promtool check metrics: ${result}\n${said}")
endif()
