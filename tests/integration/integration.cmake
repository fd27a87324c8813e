# add_integration_test(name [TIMEOUT s]): integration/NAME.py, Python unittest against the programs of this build.
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)
function(add_integration_test name)
  cmake_parse_arguments(PARSE_ARGV 1 TEST "" "TIMEOUT" "")
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 600)
  endif()
  add_test(NAME ${name}
    COMMAND ${Python3_EXECUTABLE} -B -m unittest ${name}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/integration)
  # What is fetched is shared by the builds of a tree.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS integration
    ENVIRONMENT "OUTBOX_BIN=$<TARGET_FILE_DIR:outboxd>;OUTBOX_CRASHREC=$<TARGET_FILE:crashrec>;OUTBOX_PEERS=${CMAKE_SOURCE_DIR}/build/peers")
endfunction()

# Preloaded into outboxd, before any sanitizer is ready: so without one itself.
add_library(crashrec MODULE ${CMAKE_CURRENT_SOURCE_DIR}/crash/crashrec.c)
set_target_properties(crashrec PROPERTIES C_VISIBILITY_PRESET default)
target_link_libraries(crashrec PRIVATE warnings Threads::Threads)
target_compile_options(crashrec PRIVATE -fno-sanitize=all)
target_link_options(crashrec PRIVATE -fno-sanitize=all)

add_integration_test(test_fakes TIMEOUT 120)
add_integration_test(test_ledger TIMEOUT 60)
add_integration_test(test_main_job)
add_integration_test(test_kill TIMEOUT 900)
add_integration_test(test_submit)
add_integration_test(test_inspection)
add_integration_test(test_restart)
add_integration_test(test_limits)
add_integration_test(test_check)
add_integration_test(test_peers)
add_integration_test(test_python_email_data)
add_integration_test(test_crash_images TIMEOUT 900)
