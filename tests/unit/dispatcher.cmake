add_unit_test(test_settle USES dispatcher)
add_unit_test(test_bucket USES dispatcher)
add_unit_test(test_lane USES dispatcher)

# The real dispatcher and spool; delivery, clock and timers are the test's.
foreach(name test_dispatcher test_dispatcher_backlog test_dispatcher_faults test_dispatcher_model)
  add_unit_test(${name} SOURCES unit/dispatcher_fixture.c unit/scripted_delivery.c USES dispatcher
    LIBRARIES PkgConfig::EVENT)
  target_link_options(${name} PRIVATE
    -Wl,--wrap=delivery_order_start,--wrap=delivery_mark_committed,--wrap=delivery_inflight_next
    -Wl,--wrap=spool_outcome_record,--wrap=spool_crashed_record,--wrap=spool_due_read
    -Wl,--wrap=clock_wall_ms,--wrap=clock_monotonic_ms)
  set_tests_properties(${name} PROPERTIES LABELS "unit;threads")
endforeach()
