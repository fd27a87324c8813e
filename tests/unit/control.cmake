# message_json and explain by themselves; then connections over socket pairs with the real spool and, in place of the
# dispatcher, the test's own lanes.
add_unit_test(test_message_json USES control LIBRARIES PkgConfig::JANSSON)
add_unit_test(test_control SOURCES unit/spool_fixture.c USES control
  LIBRARIES PkgConfig::EVENT PkgConfig::JANSSON)
