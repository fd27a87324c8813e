# The pure parts by themselves; then real sessions, over real sockets, with a scripted smarthost.
add_unit_test(test_reply_reader USES delivery)
add_unit_test(test_capabilities USES delivery)
add_unit_test(test_body USES delivery)
add_unit_test(test_inflight USES delivery)
add_unit_test(test_connect USES delivery)

add_library(fake_smarthost STATIC fakes/fake_smarthost.c fakes/fake_certificate.c unit/delivery_fixture.c)
target_include_directories(fake_smarthost PUBLIC fakes unit)
target_link_libraries(fake_smarthost PUBLIC delivery PkgConfig::OPENSSL PkgConfig::EVENT PkgConfig::CMOCKA Threads::Threads
                      PRIVATE warnings)
foreach(test IN ITEMS test_session test_session_cuts test_session_hostile test_session_records test_session_tls)
  add_unit_test(${test} USES fake_smarthost)
endforeach()
add_unit_test(test_delivery_start USES delivery)
target_link_options(test_delivery_start PRIVATE -Wl,--wrap=pthread_create)
