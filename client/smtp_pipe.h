/* sendmail -bs: bytes pass between the standard streams and submit.sock, unread by us. */
#pragma once

/* Takes fd. Until either side ends. Returns an exit status. */
int smtp_pipe_run(int fd, int input_fd, int output_fd);
/* What a caller hears when there is no daemon: 421 and the exit status that goes with it. */
int smtp_pipe_refuse(int output_fd);
