add_unit_test(test_replies USES queue)
target_compile_definitions(test_replies PRIVATE REPLIES_FILE="${CMAKE_CURRENT_SOURCE_DIR}/unit/replies.tsv")
add_unit_test(test_smtp_reply USES queue)
add_unit_test(test_verdict USES queue)
