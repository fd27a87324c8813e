# The configuration, its secrets and presets, and that the manual tells the same as the table of keys.
add_unit_test(test_config USES config)
add_unit_test(test_secrets USES config)
add_unit_test(test_providers USES config)
