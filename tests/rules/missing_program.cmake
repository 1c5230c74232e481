message(FATAL_ERROR "promtool, amtool or node was not found when the build was configured: run scripts/setup.sh, then configure again "
                    "(or set VIGIL_PROMTOOL, VIGIL_AMTOOL and VIGIL_NODE)")
