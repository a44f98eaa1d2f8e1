/* train RUN.toml: a run by a file of settings.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_TRAIN_FILE_H
#define SO_APPS_TRAIN_FILE_H

/* As a verb's run; the operand is the file. */
int so_train_run_file(int argc, char **argv);
/* "train sweep RUN.toml". */
int so_train_run_sweep(int argc, char **argv);
/* train keys: all settings, and what can be learnt of a record. */
int so_train_print_keys(void);

#endif
