add_unit_test(test_address_list USES client_submission)
add_unit_test(test_sendmail_headers USES client_submission)
add_unit_test(test_sendmail_options USES client_submission)
add_unit_test(test_message_input USES client_submission)
add_unit_test(test_locate USES client_location)
add_unit_test(test_submission USES client_submission LIBRARIES Threads::Threads)
add_test(NAME manuals_of_client
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/unit/check_manuals.sh $<TARGET_FILE:outbox>
    ${PROJECT_SOURCE_DIR}/client)
set_tests_properties(manuals_of_client PROPERTIES LABELS unit TIMEOUT 60)
