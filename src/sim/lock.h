/* The threads and locks of POSIX, as src/sim/redirect makes the library call them. */
#ifndef WEIR_SIM_LOCK_H
#define WEIR_SIM_LOCK_H

#include <pthread.h>
#include <signal.h>
#include <stdint.h>

int sim_pthread_create(pthread_t *ret_thread, const pthread_attr_t *unused,
                       void *(*run)(void *argument), void *argument);
int sim_pthread_join(pthread_t thread, void **unused);
int sim_pthread_detach(pthread_t thread);
int sim_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_former);
int sim_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *unused);
int sim_pthread_mutex_destroy(pthread_mutex_t *mutex);
int sim_pthread_mutex_lock(pthread_mutex_t *mutex);
int sim_pthread_mutex_unlock(pthread_mutex_t *mutex);
int sim_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int sim_pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                               const struct timespec *until);
int sim_pthread_cond_signal(pthread_cond_t *cond);
int sim_pthread_cond_broadcast(pthread_cond_t *cond);

#endif
