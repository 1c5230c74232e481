# Fails when an alert has no test that sees it fire and one that sees it silent, or, where DOCS is given, no row there.
# Tests see an alert by alert_rule_test, or by a query of `ALERTS{alertname="…",alertstate="firing"}` in promql_expr_test.
#   cmake -DRULES=<file> -DTESTS=<folder> [-DDOCS=<file>] -P check_coverage.cmake
cmake_minimum_required(VERSION 3.25)

if(DOCS)
  file(READ "${DOCS}" docs)
endif()
file(GLOB files "${TESTS}/*_test.yml")
set(tests "")
foreach(file IN LISTS files)
  file(READ "${file}" text)
  string(APPEND tests "${text}\n")
endforeach()
# Brackets would join list elements of CMake.
string(REPLACE "[" "(" tests "${tests}")
string(REPLACE "]" ")" tests "${tests}")

file(STRINGS "${RULES}" alerts REGEX "^ *- alert: ")
list(LENGTH alerts count)
if(count EQUAL 0)
  message(FATAL_ERROR "${RULES} has no alert")
endif()
foreach(line IN LISTS alerts)
  string(REGEX REPLACE "^ *- alert: *([A-Za-z0-9]+).*" "\\1" alert "${line}")
  set(query "ALERTS{alertname=\"${alert}\",alertstate=\"firing\"}\\)'[, \n]+eval_time: [0-9a-z]+[, \n]+exp_samples:")
  if(NOT tests MATCHES "alertname: ${alert}[, \n]+eval_time: [0-9a-z]+[, \n]+exp_alerts:\n" AND NOT tests MATCHES "${query}\n +- {")
    message(SEND_ERROR "no test in ${TESTS} sees ${alert} fire")
  endif()
  if(NOT tests MATCHES "alertname: ${alert}[, \n]+eval_time: [0-9a-z]+[, \n]+exp_alerts: \\(\\)"
     AND NOT tests MATCHES "${query} \\(\\)")
    message(SEND_ERROR "no test in ${TESTS} sees ${alert} silent")
  endif()
  if(DOCS AND NOT docs MATCHES "\n\\| `${alert}` \\|")
    message(SEND_ERROR "${DOCS} has no row for ${alert}")
  endif()
endforeach()
message(STATUS "${count} alerts")
