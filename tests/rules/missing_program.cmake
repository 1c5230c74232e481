message(FATAL_ERROR "promtool or amtool was not found when the build was configured: run scripts/setup.sh, then configure again "
                    "(or set VIGIL_PROMTOOL and VIGIL_AMTOOL)")
