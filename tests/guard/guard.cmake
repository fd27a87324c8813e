# The guard builds outboxd twice more, as released, now and of the commit before: half a minute on two cores, and
# nothing when the daemon has not changed. It counts, so it may run beside other tests; begins early, being long.
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)
add_test(NAME guard-selftest
  COMMAND ${Python3_EXECUTABLE} -B -m unittest test_guard
  WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/guard)
set_tests_properties(guard-selftest PROPERTIES TIMEOUT 60 LABELS guard)
add_test(NAME guard COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/guard/guard.py)
set_tests_properties(guard PROPERTIES TIMEOUT 900 LABELS guard SKIP_RETURN_CODE 77 COST 1000)
