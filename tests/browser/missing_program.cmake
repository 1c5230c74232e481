message(FATAL_ERROR "${MISSING} not found when the build was configured: run scripts/setup.sh, then configure again (or set VIGIL_NODE and "
                    "VIGIL_CHROMIUM)")
