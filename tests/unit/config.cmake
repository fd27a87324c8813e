# The configuration, its secrets and presets, and that the manual tells the same as the table of keys.
add_unit_test(test_config USES config)
add_unit_test(test_secrets USES config)
add_unit_test(test_providers USES config)
add_unit_test(test_config_manual USES config)
target_compile_definitions(test_config_manual PRIVATE MANUAL="${PROJECT_SOURCE_DIR}/daemon/outbox.conf.5")
