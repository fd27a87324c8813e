add_unit_test(test_settle USES dispatcher)
add_unit_test(test_bucket USES dispatcher)
add_unit_test(test_lane USES dispatcher)
