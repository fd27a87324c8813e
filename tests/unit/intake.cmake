# The pure parts by themselves; then the real server on a socket with the real spool, whose requests the fixture can
# delay or fail.
add_unit_test(test_data_reader USES intake)
add_unit_test(test_envelope USES intake)
add_unit_test(test_header_pass USES intake)
add_unit_test(test_parameters USES intake)
add_unit_test(test_smtp_server SOURCES unit/intake_fixture.c USES intake LIBRARIES PkgConfig::EVENT)
target_link_options(test_smtp_server PRIVATE -Wl,--wrap=spool_message_submit,--wrap=spool_chunk_append)
