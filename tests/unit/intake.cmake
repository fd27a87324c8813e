# The pure parts by themselves.
add_unit_test(test_data_reader USES intake)
add_unit_test(test_envelope USES intake)
add_unit_test(test_header_pass USES intake)
add_unit_test(test_parameters USES intake)

# The real server on a socket with the real spool; the fixture can delay or fail what passes between them.
foreach(name test_smtp_server test_intake_limits test_intake_faults)
  add_unit_test(${name} SOURCES unit/intake_client.c unit/intake_fixture.c USES intake LIBRARIES PkgConfig::EVENT)
  target_link_options(${name} PRIVATE
    -Wl,--wrap=spool_message_submit,--wrap=spool_chunk_append,--wrap=resolver_user)
endforeach()
