# Real threads, pipes and sockets; what a test waits for arrives, it never sleeps.
add_unit_test(test_mailbox USES loop LIBRARIES PkgConfig::EVENT Threads::Threads)
target_link_options(test_mailbox PRIVATE -Wl,--wrap=write)
add_unit_test(test_log USES loop LIBRARIES PkgConfig::EVENT Threads::Threads)
add_unit_test(test_listener USES loop LIBRARIES PkgConfig::EVENT)
add_unit_test(test_resolver USES loop LIBRARIES PkgConfig::EVENT)
target_link_options(test_resolver PRIVATE -Wl,--wrap=getaddrinfo)
